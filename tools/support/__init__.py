"""Parts of the commands beside this folder."""
