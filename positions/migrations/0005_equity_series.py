"""Marks by the minute, valuations, and series of equity."""

import django.db.models.deletion
import execution_project.common.ids
import execution_project.common.money
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0005_names_fit_and_failed_logins'),
        ('exchanges', '0004_freshness_and_foreign_orders'),
        ('positions', '0004_books_of_cost'),
    ]

    operations = [
        migrations.CreateModel(
            name='EquitySeries',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.CharField(choices=[('global', 'all accounts of a mode'), ('account', 'an account'), ('strategy', 'a strategy')], max_length=8)),
                ('mode', models.CharField(choices=[('live', 'live'), ('sandbox', 'sandbox'), ('paper', 'paper')], max_length=8)),
                ('currency', models.CharField(max_length=24)),
                ('at', models.DateTimeField(null=True)),
                ('equity', execution_project.common.money.MoneyField(null=True)),
                ('nav', execution_project.common.money.MoneyField(null=True)),
                ('basis_nav', execution_project.common.money.MoneyField(null=True)),
                ('basis_equity', execution_project.common.money.MoneyField(null=True)),
                ('opening_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_equity', execution_project.common.money.MoneyField(null=True)),
                ('day', models.DateField(null=True)),
                ('day_began_at', models.DateTimeField(null=True)),
                ('day_equity', execution_project.common.money.MoneyField(null=True)),
                ('day_flows', execution_project.common.money.MoneyField(default=0)),
                ('day_high_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_at', models.DateTimeField(null=True)),
                ('flow_totals', models.JSONField(default=dict)),
                ('marks', models.JSONField(default=dict)),
                ('last_at', models.DateTimeField(null=True)),
                ('last_equity', execution_project.common.money.MoneyField(null=True)),
                ('last_drawdown', execution_project.common.money.MoneyField(null=True)),
                ('last_daily_loss', execution_project.common.money.MoneyField(null=True)),
                ('last_missing', models.JSONField(default=list)),
                ('last_kept_at', models.DateTimeField(null=True)),
                ('ledger_id', models.BigIntegerField(default=0)),
                ('thinned_to', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='exchanges.account')),
                ('strategy', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='common.strategy')),
            ],
            options={
                'verbose_name_plural': 'equity series',
            },
        ),
        migrations.CreateModel(
            name='Mark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mode', models.CharField(choices=[('live', 'live'), ('sandbox', 'sandbox'), ('paper', 'paper')], max_length=8)),
                ('exchange', models.CharField(choices=[('binance', 'Binance'), ('btcturk', 'BTCTurk')], max_length=16)),
                ('asset', models.CharField(max_length=24)),
                ('currency', models.CharField(max_length=24)),
                ('minute', models.DateTimeField()),
                ('at', models.DateTimeField()),
                ('bid', execution_project.common.money.MoneyField()),
                ('mid', execution_project.common.money.MoneyField()),
                ('quoted_at', models.DateTimeField()),
                ('path', models.JSONField(default=list)),
            ],
            options={
                'indexes': [models.Index(fields=['mode', 'asset', 'at'], name='mark_of_asset_at')],
                'constraints': [models.UniqueConstraint(fields=('minute', 'mode', 'exchange', 'asset'), name='mark_once_a_minute'), models.CheckConstraint(condition=models.Q(('bid__gt', 0), ('mid__gt', 0)), name='mark_positive')],
            },
        ),
        migrations.CreateModel(
            name='Valuation',
            fields=[
                ('id', models.UUIDField(default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('currency', models.CharField(max_length=24)),
                ('equity', execution_project.common.money.MoneyField(null=True)),
                ('flows', execution_project.common.money.MoneyField(null=True)),
                ('nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_equity', execution_project.common.money.MoneyField(null=True)),
                ('missing', models.JSONField(default=list)),
                ('unconfirmed', models.JSONField(default=list)),
                ('marks', models.JSONField(default=list)),
                ('why', models.CharField(max_length=64)),
                ('series', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='positions.equityseries')),
            ],
        ),
        migrations.AddField(
            model_name='equityseries',
            name='hwm_valuation',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='positions.valuation'),
        ),
        migrations.CreateModel(
            name='EquityPoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('equity', execution_project.common.money.MoneyField(null=True)),
                ('low_equity', execution_project.common.money.MoneyField(null=True)),
                ('high_equity', execution_project.common.money.MoneyField(null=True)),
                ('nav', execution_project.common.money.MoneyField(null=True)),
                ('low_nav', execution_project.common.money.MoneyField(null=True)),
                ('high_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_nav', execution_project.common.money.MoneyField(null=True)),
                ('hwm_equity', execution_project.common.money.MoneyField(null=True)),
                ('drawdown_trailing', execution_project.common.money.MoneyField(null=True)),
                ('drawdown_daily', execution_project.common.money.MoneyField(null=True)),
                ('drawdown_static', execution_project.common.money.MoneyField(null=True)),
                ('drawdown_absolute', execution_project.common.money.MoneyField(null=True)),
                ('daily_loss', execution_project.common.money.MoneyField(null=True)),
                ('missing', models.JSONField(default=list)),
                ('confirmed', models.BooleanField(default=True)),
                ('series', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='positions.equityseries')),
                ('valuation', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.valuation')),
            ],
        ),
        migrations.AddIndex(
            model_name='valuation',
            index=models.Index(fields=['series', 'at'], name='valuation_of_series_at'),
        ),
        migrations.AddConstraint(
            model_name='valuation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('equity__isnull', False), ('missing', [])), models.Q(('equity__isnull', True), models.Q(('missing', []), _negated=True)), _connector='OR'), name='valuation_complete_or_without_equity'),
        ),
        migrations.AddConstraint(
            model_name='equityseries',
            constraint=models.UniqueConstraint(fields=('mode', 'account', 'strategy', 'currency'), name='equity_series_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='equityseries',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('account__isnull', True), ('scope', 'global'), ('strategy__isnull', True)), models.Q(('account__isnull', False), ('scope', 'account'), ('strategy__isnull', True)), models.Q(('account__isnull', True), ('scope', 'strategy'), ('strategy__isnull', False)), _connector='OR'), name='equity_series_of_its_scope'),
        ),
        migrations.AddIndex(
            model_name='equitypoint',
            index=models.Index(fields=['series', 'at'], name='equity_point_of_series_at'),
        ),
        migrations.AddIndex(
            model_name='equitypoint',
            index=models.Index(fields=['at'], name='equity_point_at'),
        ),
    ]
