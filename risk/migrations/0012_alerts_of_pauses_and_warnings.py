"""Alerts while a pause stands, and while a limit is met whose monitor only warns."""

from django.db import migrations, models

KINDS = [
    ('limit', 'limit'),
    ('equity_unknown', 'equity unknown'),
    ('tripped', 'tripped'),
    ('kill_incomplete', 'kill incomplete'),
    ('halted', 'halted by the engine'),
    ('paused', 'paused'),
    ('warned', 'warned by a monitor'),
]


class Migration(migrations.Migration):

    dependencies = [
        ('risk', '0011_own_quantities'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='alert',
            name='alert_kind_known',
        ),
        migrations.AlterField(
            model_name='alert',
            name='kind',
            field=models.CharField(choices=KINDS, max_length=24),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', [kind for kind, _ in KINDS])), name='alert_kind_known'),
        ),
    ]
