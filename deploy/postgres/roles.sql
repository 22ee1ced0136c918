-- Run once by the database container when its volume is new: the owner, who migrates, and the application's own role,
-- which deploy/migrate.sh restricts. The passwords come from files, so that no process list shows them.
\set owner_password `cat /run/secrets/database_owner_password`
\set password `cat /run/secrets/database_password`
CREATE ROLE wardkey_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE wardkey LOGIN PASSWORD :'password';
CREATE DATABASE wardkey OWNER wardkey_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE wardkey FROM PUBLIC;
GRANT CONNECT ON DATABASE wardkey TO wardkey;
