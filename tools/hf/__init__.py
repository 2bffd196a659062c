"""Parts of tools/oracle.py: tenebra against Hugging Face transformers."""
