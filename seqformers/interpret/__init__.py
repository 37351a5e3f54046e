"""What a model looks at: attention and gradients per base, mutations, motifs, and plots of them."""
