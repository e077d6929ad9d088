"""Paper trading: an exchange of our own making in our own tables, behind the interface of every exchange adapter.

It imitates the exchange that the account names. It has no keys and no host, and opens no connection. How orders are
filled: ``engine``; which facts it rests on: docs/paper.md.
"""
