-- The least that each floor must read and write. Wardkey's own tables carry more columns and constraints.
CREATE TABLE account (
    id uuid PRIMARY KEY,
    is_active boolean NOT NULL
);
CREATE TABLE refresh_family (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES account (id),
    scope text NOT NULL,
    current_sha256 bytea NOT NULL UNIQUE,
    previous_sha256 bytea,
    rotated_at timestamptz,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE TABLE access_grant (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES account (id),
    patient text NOT NULL,
    scope text NOT NULL,
    ends_at timestamptz NOT NULL,
    revoked_at timestamptz,
    UNIQUE (account_id, patient)
);
CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL,
    actor uuid NOT NULL,
    object text NOT NULL,
    jti uuid NOT NULL
);
CREATE INDEX event_at ON event (at);
