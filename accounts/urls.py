"""The account pages that are meant to be there: a choice from allauth's, whose other addresses do not exist.

Nobody sets a password by e-mail: a lost one is an administrator's to replace, with a reason and an entry.
"""

from allauth.account import views as allauth_views
from django.urls import path

from accounts import account_views

urlpatterns = [
    path("login/", account_views.SignIn.as_view(), name="account_login"),
    path("logout/", allauth_views.logout, name="account_logout"),
    path("inactive/", allauth_views.account_inactive, name="account_inactive"),
    path("signup/", allauth_views.signup, name="account_signup"),
    path("reauthenticate/", account_views.Reauthentication.as_view(), name="account_reauthenticate"),
    path("password/change/", account_views.PasswordChange.as_view(), name="account_change_password"),
    path("sessions/", account_views.session_list, name="usersessions_list"),
]
