"""How a release gets out: from the register to the published tree, and to whoever is told."""
