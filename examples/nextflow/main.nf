// Files of contigs, each classified in shards:
//
//     nextflow run main.nf --contigs 'samples/*.fasta' --model runs/phage-150 --shards 8 --outdir results

include { SEQFORMERS_PREDICT; SEQFORMERS_MERGE } from './seqformers.nf'

params.contigs = 'contigs.fasta'
params.model = 'runs/phage-150'
params.shards = 8
params.outdir = 'results'

workflow {
    count = params.shards as int
    samples = Channel
        .fromPath(params.contigs, checkIfExists: true)
        .map { contigs -> tuple([id: contigs.simpleName], contigs, file(params.model, checkIfExists: true)) }
    work = samples
        .combine(Channel.of(1..count))
        .map { meta, contigs, model, shard -> tuple(meta, contigs, model, shard, count) }
    SEQFORMERS_PREDICT(work)
    SEQFORMERS_MERGE(SEQFORMERS_PREDICT.out.shard.groupTuple(size: count))
}
