"""The nouns: frozen values and the protocols between the layers. Standard library only."""
