"""The outbound queue and SMTP client of rmail."""
