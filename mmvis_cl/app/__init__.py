"""A page on this machine on which people drop videos and get them tracked."""
