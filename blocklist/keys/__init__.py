"""Who signs: public keys, folders of encrypted private keys, tokens."""
