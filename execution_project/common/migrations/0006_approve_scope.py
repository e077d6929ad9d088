"""Approving is an API key scope of its own: keys that were made before do not have it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0005_names_fit_and_failed_logins'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='apikey',
            name='api_key_scopes_known',
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['read', 'trade', 'operate', 'approve']), models.Q(('scopes', []), _negated=True)), name='api_key_scopes_known'),
        ),
    ]
