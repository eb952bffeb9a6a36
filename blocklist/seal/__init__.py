"""The seal of a release: a CMS signature that stock `openssl` verifies, and the authority behind it."""
