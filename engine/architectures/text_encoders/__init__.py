"""Text encoders and tokenizers that several architectures share: loaded, and fed."""
