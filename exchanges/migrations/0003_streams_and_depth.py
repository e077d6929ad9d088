"""Prices are unlogged: a crash loses what a second brings back, and a price per second is no work for the log.

The rule for live hosts now also knows the demo environment's hosts with two hyphens (websockets).
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exchanges', '0002_account_mode_is_final'),
    ]

    operations = [
        migrations.CreateModel(
            name='Depth',
            fields=[
                ('instrument', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, serialize=False, to='exchanges.instrument')),
                ('bids', models.JSONField(default=list)),
                ('asks', models.JSONField(default=list)),
                ('confirmed_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='StreamState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('private', 'private'), ('market', 'market')], max_length=8)),
                ('subject', models.CharField(max_length=64)),
                ('exchange', models.CharField(choices=[('binance', 'Binance'), ('btcturk', 'BTCTurk')], max_length=16)),
                ('connected_since', models.DateTimeField(null=True)),
                ('last_message_at', models.DateTimeField(null=True)),
                ('last_event_at', models.DateTimeField(null=True)),
                ('reconnects', models.PositiveIntegerField(default=0)),
                ('gaps', models.PositiveIntegerField(default=0)),
                ('last_error', models.CharField(blank=True, max_length=512)),
                ('written_at', models.DateTimeField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='account',
            name='account_live_on_live_host',
        ),
        migrations.RemoveConstraint(
            model_name='account',
            name='account_sandbox_off_live_host',
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('mode', 'live'), _negated=True), models.Q(('rest_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), ('rest_url__regex', '^(https|wss)://'), ('rest_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), models.Q(('rest_url__regex', '^(https|wss)://(demo-[a-z-]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _negated=True), models.Q(('ws_url', ''), models.Q(('ws_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), ('ws_url__regex', '^(https|wss)://'), ('ws_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), models.Q(('ws_url__regex', '^(https|wss)://(demo-[a-z-]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _negated=True)), _connector='OR')), _connector='OR'), name='account_live_on_live_host'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('mode', 'sandbox'), _negated=True), models.Q(('rest_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), models.Q(models.Q(('rest_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), _negated=True), ('rest_url__regex', '^(https|wss)://(demo-[a-z-]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _connector='OR'), models.Q(('ws_url', ''), models.Q(('ws_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), models.Q(models.Q(('ws_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), _negated=True), ('ws_url__regex', '^(https|wss)://(demo-[a-z-]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _connector='OR')), _connector='OR')), _connector='OR'), name='account_sandbox_off_live_host'),
        ),
        migrations.AddConstraint(
            model_name='streamstate',
            constraint=models.UniqueConstraint(fields=('kind', 'subject'), name='stream_state_once'),
        ),
        migrations.RunSQL(
            "ALTER TABLE exchanges_quote SET UNLOGGED; ALTER TABLE exchanges_depth SET UNLOGGED;",
            "ALTER TABLE exchanges_quote SET LOGGED; ALTER TABLE exchanges_depth SET LOGGED;",
        ),
    ]
