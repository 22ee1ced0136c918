"""What happens before and around Django: bootstrap, secrets, `manage.py up`."""
