"""How the demo model was made: its pictures, its tokenizer, its VAE, its denoiser, its check."""
