"""Errors between operations and the portal's forms: into a form what one raised, out of it what was refused."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError


def add_errors(form: forms.Form, invalid: ValidationError) -> None:
    """Show an operation's ValidationError at the fields it names, and above the form where there is no such field."""
    by_field = invalid.error_dict if hasattr(invalid, "error_dict") else {None: invalid.error_list}
    for name, errors in by_field.items():
        form.add_error(name if name in form.fields else None, errors)


def refused_codes(response: Any) -> set[str]:
    """Return the codes of all errors of the admin form, and of its inlines, that a response shows."""
    context = getattr(response, "context_data", None) or {}
    if "adminform" not in context:
        return set()
    formsets = [inline.formset for inline in context.get("inline_admin_formsets", ())]
    errors = [*context["adminform"].form.errors.as_data().values()]
    for formset in formsets:
        if formset.is_bound:
            errors += [formset.non_form_errors().as_data()]
            errors += [each for form in formset.forms for each in form.errors.as_data().values()]
    return {error.code for each in errors for error in each if error.code}
