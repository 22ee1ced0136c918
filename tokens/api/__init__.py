"""The Django REST framework API on djangorestframework-simplejwt."""
