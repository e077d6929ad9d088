"""When the books of an account were last compared with the exchange, and what its foreign orders lead to."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exchanges', '0003_streams_and_depth'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccountFreshness',
            fields=[
                ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='freshness', serialize=False, to='exchanges.account')),
                ('orders_at', models.DateTimeField(null=True)),
                ('trades_at', models.DateTimeField(null=True)),
                ('balances_at', models.DateTimeField(null=True)),
                ('blocked_by', models.CharField(blank=True, max_length=160)),
            ],
            options={
                'verbose_name_plural': 'account freshness',
            },
        ),
        migrations.AddField(
            model_name='account',
            name='foreign_orders',
            field=models.CharField(choices=[('adopt', 'adopt it as external'), ('alert', 'adopt it and raise a break'), ('halt', 'adopt it and halt the account')], default='alert', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('foreign_orders__in', ['adopt', 'alert', 'halt'])), name='account_foreign_orders_known'),
        ),
    ]
