"""Every Python process that a test starts begins here, as this folder comes first on its PYTHONPATH."""

import loopback_guard

loopback_guard.install()
