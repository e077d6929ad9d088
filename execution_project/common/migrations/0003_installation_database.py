"""The database that the prefix was taken for: a copy of it takes another one."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0002_rights_and_key_limits'),
    ]

    operations = [
        migrations.AddField(
            model_name='installation',
            name='database',
            field=models.CharField(blank=True, max_length=64),
        ),
    ]
