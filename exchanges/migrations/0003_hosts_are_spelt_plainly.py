from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exchanges', '0002_account_mode_is_final'),
    ]

    operations = [
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
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('mode', 'live'), _negated=True), models.Q(('rest_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), ('rest_url__regex', '^(https|wss)://'), ('rest_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), models.Q(('rest_url__regex', '^(https|wss)://(demo-[a-z]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _negated=True)), _connector='OR'), name='account_live_on_live_host'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('mode', 'sandbox'), _negated=True), models.Q(('rest_url__regex', '^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\\Z'), models.Q(models.Q(('rest_url__regex', '^[a-z]+://([a-z0-9-]+\\.)*(binance\\.com|btcturk\\.com)(:[0-9]+)?(/|\\Z)'), _negated=True), ('rest_url__regex', '^(https|wss)://(demo-[a-z]+|testnet)\\.binance\\.com(:[0-9]+)?(/|\\Z)'), _connector='OR')), _connector='OR'), name='account_sandbox_off_live_host'),
        ),
    ]
