"""Documents, collections, queries and builders: everything that touches a database."""
