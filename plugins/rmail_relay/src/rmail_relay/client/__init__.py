"""The SMTP client: one connection, its dialogue, and what is said in it. It knows no queue."""
