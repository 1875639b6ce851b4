"""How models are run and kept, whatever the architecture: kernels, forms of weights, previews."""
