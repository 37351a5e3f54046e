// Two processes for any pipeline: a shard of a prediction, and the table out of all shards.

process SEQFORMERS_PREDICT {
    tag "${meta.id} ${shard}/${count}"
    label 'process_medium'

    input:
    tuple val(meta), path(contigs), path(model), val(shard), val(count)

    output:
    tuple val(meta), path("${meta.id}-${shard}.tsv"), path(".${meta.id}-${shard}.tsv.seqformers.json"), emit: shard

    script:
    """
    OMP_NUM_THREADS=${task.cpus} seqformers --quiet predict ${model} ${contigs} --shard ${shard}/${count} --output ${meta.id}-${shard}.tsv
    """
}

process SEQFORMERS_MERGE {
    tag "${meta.id}"
    label 'process_single'
    publishDir params.outdir, mode: 'copy'

    input:
    tuple val(meta), path(tables), path(records)

    output:
    tuple val(meta), path("${meta.id}.tsv"), emit: table

    script:
    """
    seqformers --quiet merge ${tables} --output ${meta.id}.tsv
    """
}
