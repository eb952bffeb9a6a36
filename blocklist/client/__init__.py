"""The provider's side: it trusts a pinned TUF root and the officers' signatures, and nothing else.

Nothing here imports the office's side, so that a provider can read all that runs on its machine by itself.
"""
