# The commands that answer, a rule each, through the wrapper beside this file.
#
#     snakemake --snakefile answers.smk --cores 4 phages.tsv proteins.tsv targets.tsv guides.tsv classes.tsv


rule phages:
    input:
        "contigs.fasta",
    output:
        "phages.tsv",
    params:
        command="find-phages",
        extra="--preset strict",
    threads: 4
    log:
        "logs/phages.log",
    wrapper:
        "file:wrapper"


rule proteins:
    input:
        "proteins.fasta",
    output:
        "proteins.tsv",
        gff="proteins.gff3",
    params:
        command="annotate-proteins",
    threads: 4
    log:
        "logs/proteins.log",
    wrapper:
        "file:wrapper"


rule targets:
    input:
        mirna="mirnas.fasta",
        mrna="utrs.fasta",
    output:
        "targets.tsv",
    params:
        command="scan-targets",
        extra="--sites",
    threads: 4
    log:
        "logs/targets.log",
    wrapper:
        "file:wrapper"


rule guides:
    input:
        "gene.fasta",
        genome="genome.fasta",
    output:
        "guides.tsv",
        track="guides.png",
        off_target_table="off_targets.tsv",
    params:
        command="score-guides",
        extra="--rank both --top 5",
    threads: 1
    log:
        "logs/guides.log",
    wrapper:
        "file:wrapper"


rule classes:
    input:
        "runs/phage-150",
        "contigs.fasta",
    output:
        "classes.tsv",
    params:
        command="predict",
    threads: 4
    log:
        "logs/classes.log",
    wrapper:
        "file:wrapper"
