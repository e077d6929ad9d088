"""An account's mode and exchange never change after creation: a paper account can never become a live one."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION exchanges_account_refuse_mode_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'The mode and exchange of account % are final; create another account.', OLD.name
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER account_mode_is_final BEFORE UPDATE ON exchanges_account
  FOR EACH ROW WHEN (OLD.mode IS DISTINCT FROM NEW.mode OR OLD.exchange IS DISTINCT FROM NEW.exchange)
  EXECUTE FUNCTION exchanges_account_refuse_mode_change();
"""
BACKWARD = """
DROP TRIGGER account_mode_is_final ON exchanges_account;
DROP FUNCTION exchanges_account_refuse_mode_change();
"""


class Migration(migrations.Migration):
    dependencies = [("exchanges", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
