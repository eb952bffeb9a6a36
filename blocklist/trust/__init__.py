"""What the heads sign offline: roles and keys of the published tree, proposals, the seal's certificates."""
