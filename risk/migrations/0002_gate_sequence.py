"""The sequence that halts and decisions share: a halt outranks every order that was accepted before it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("risk", "0001_initial")]
    operations = [
        migrations.RunSQL("CREATE SEQUENCE risk_gate_seq AS bigint START 1", "DROP SEQUENCE risk_gate_seq"),
    ]
