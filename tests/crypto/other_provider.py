"""A second key-encryption-key provider, such as a hospital's own."""

from crypto.envelope import LocalKekProvider


class OtherProvider(LocalKekProvider):
    """Wraps as the local one does, under another name."""

    name = "other"
