"""The public key of a world that signs nothing. Its private key was thrown away when it was made.

A `Sandbox` serves that of its own key in its place.
"""

from typing import Final

PUBLIC_KEY: Final = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAs4qgm5swbx1dGLvCqJDc
39SO3gXiD3qpznzU18Z87y/ab4QwmQzkb1T0PCWcFv7OQCohuETwph9UuXDd82P/
cNZktp7MTtOFEP2MpWcnb1eUdUfTcaLLdtShIiWdwXlZECy/5T1LRvszxBuF1nKR
1hQ8uTx1JIH0kVoStxKC19r08ipmGQOv6O8GzVx1+Tb8NZd10FA3h97DUOqUNXPA
6P+DI+Y5dvNNP7INjV9QfnY3skM7EiQS13UtqXawjGFkl1fmFVxFirCH/GtAr35R
K+2MooWoO3Rc/jo5FKSYlrUXlwP9ytx0DoZTi2UzK77T/dhuNhYQfpuDyp3eV+01
pQIDAQAB
-----END PUBLIC KEY-----"""
"""PEM of 450 characters without a final line end, as Kick's."""
