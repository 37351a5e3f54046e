// The commands that answer a biologist's question, a process each, as nf-core modules have them: options that a pipeline
// adds go into `ext.args` of its configuration. Predictions of a trained run, in shards, are in seqformers.nf.

process SEQFORMERS_FIND_PHAGES {
    tag "${meta.id}"
    label 'process_medium'

    input:
    tuple val(meta), path(contigs)

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table
    tuple val(meta), path("${meta.id}-sequences"), emit: sequences

    script:
    def args = task.ext.args ?: ''
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet find-phages ${contigs} --output ${meta.id}.tsv --fasta-out ${meta.id}-sequences ${args}
    """
}

process SEQFORMERS_ANNOTATE_PROTEINS {
    tag "${meta.id}"
    label 'process_medium'

    input:
    tuple val(meta), path(proteins)

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table
    tuple val(meta), path("${meta.id}.gff3"), emit: segments

    script:
    def args = task.ext.args ?: ''
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet annotate-proteins ${proteins} --output ${meta.id}.tsv --gff ${meta.id}.gff3 ${args}
    """
}

process SEQFORMERS_SCAN_TARGETS {
    tag "${meta.id}"
    label 'process_high'

    input:
    tuple val(meta), path(mirnas), path(utrs)

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table

    script:
    def args = task.ext.args ?: ''
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet scan-targets --mirna ${mirnas} --mrna ${utrs} --output ${meta.id}.tsv ${args}
    """
}

process SEQFORMERS_SCORE_GUIDES {
    tag "${meta.id}"
    label 'process_single'

    input:
    tuple val(meta), path(gene), path(genome)  // [] for no off-targets

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table
    tuple val(meta), path("${meta.id}.png"), emit: picture

    script:
    def args = task.ext.args ?: ''
    def search = genome ? "--genome ${genome}" : ''
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet score-guides ${gene} --output ${meta.id}.tsv --track ${meta.id}.png ${search} ${args}
    """
}

process SEQFORMERS_PREDICT_WHOLE {
    tag "${meta.id}"
    label 'process_medium'

    input:
    tuple val(meta), path(sequences), path(model)

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table

    script:
    def args = task.ext.args ?: ''
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet predict ${model} ${sequences} --output ${meta.id}.tsv ${args}
    """
}
