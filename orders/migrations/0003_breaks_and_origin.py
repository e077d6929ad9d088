"""Breaks, and orders that were found at the exchange and passed no gate."""

import django.db.models.deletion
import execution_project.common.ids
import execution_project.common.money
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0003_installation_database'),
        ('exchanges', '0004_freshness_and_foreign_orders'),
        ('orders', '0002_absence_evidence'),
    ]

    operations = [
        migrations.CreateModel(
            name='Break',
            fields=[
                ('id', models.UUIDField(default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('missing_fill', 'trades at the exchange that cannot be booked'), ('orphan_fill', 'a booked fill that the exchange does not show'), ('unknown_order', 'an order that is not ours'), ('adopted_order', 'an order of ours that was forgotten'), ('missing_at_venue', 'a working order that the exchange does not show'), ('status_mismatch', 'ended here, working at the exchange'), ('qty_mismatch', 'the exchange reports more than its trades show'), ('balance_mismatch', 'ledger and balance differ'), ('negative_inventory', 'the ledger holds less than nothing')], max_length=24)),
                ('severity', models.CharField(choices=[('informational', 'informational'), ('warning', 'warning'), ('blocking', 'blocking'), ('critical', 'critical')], max_length=16)),
                ('subject', models.CharField(max_length=128)),
                ('status', models.CharField(choices=[('suspected', 'suspected'), ('open', 'open'), ('acknowledged', 'acknowledged'), ('resolved', 'resolved')], default='open', max_length=16)),
                ('expected', models.CharField(blank=True, max_length=128)),
                ('observed', models.CharField(blank=True, max_length=128)),
                ('difference', execution_project.common.money.MoneyField(null=True)),
                ('rounds', models.PositiveIntegerField(default=1)),
                ('opened_at', models.DateTimeField()),
                ('last_seen_at', models.DateTimeField()),
                ('owner', models.CharField(blank=True, max_length=128)),
                ('resolution', models.CharField(blank=True, max_length=512)),
                ('resolved_by', models.CharField(blank=True, max_length=128)),
                ('resolved_at', models.DateTimeField(null=True)),
                ('evidence', models.JSONField(default=dict)),
            ],
        ),
        migrations.AddField(
            model_name='order',
            name='origin',
            field=models.CharField(choices=[('engine', 'engine'), ('adopted', 'adopted'), ('external', 'external')], default='engine', max_length=8),
        ),
        migrations.AlterField(
            model_name='order',
            name='decision_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('origin__in', ['engine', 'adopted', 'external'])), name='order_origin_known'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('origin', 'engine'), _negated=True), ('decision_id__isnull', False), _connector='OR'), name='order_of_ours_was_decided'),
        ),
        migrations.AddField(
            model_name='break',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='break',
            name='order',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='breaks', to='orders.order'),
        ),
        migrations.AddConstraint(
            model_name='break',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['missing_fill', 'orphan_fill', 'unknown_order', 'adopted_order', 'missing_at_venue', 'status_mismatch', 'qty_mismatch', 'balance_mismatch', 'negative_inventory'])), name='break_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='break',
            constraint=models.CheckConstraint(condition=models.Q(('severity__in', ['informational', 'warning', 'blocking', 'critical'])), name='break_severity_known'),
        ),
        migrations.AddConstraint(
            model_name='break',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['suspected', 'open', 'acknowledged', 'resolved'])), name='break_status_known'),
        ),
        migrations.AddConstraint(
            model_name='break',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'resolved'), _negated=True), fields=('account', 'kind', 'subject'), name='break_one_at_a_time'),
        ),
        migrations.AddConstraint(
            model_name='break',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'resolved'), _negated=True), models.Q(('resolved_at__isnull', False), models.Q(('resolution', ''), _negated=True)), _connector='OR'), name='break_resolved_says_how'),
        ),
    ]
