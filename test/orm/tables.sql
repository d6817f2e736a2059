-- SPDX-License-Identifier: PostgreSQL
--
-- The tables of the ORM tests: one that kvlsm's functions know too, and two
-- with columns of their own.  No ORM creates them; see docs/orm.md.
CREATE EXTENSION kvlsm;

CREATE FOREIGN TABLE items (
	key text COLLATE "C" NOT NULL,
	value jsonb NOT NULL
) SERVER kvlsm;

CREATE FOREIGN TABLE people (
	id int8 NOT NULL,
	name text NOT NULL,
	n int4 NOT NULL DEFAULT 0,
	at timestamptz NOT NULL DEFAULT now(),
	body jsonb
) SERVER kvlsm OPTIONS (key 'id');

CREATE FOREIGN TABLE visits (
	shop int4 NOT NULL,
	at timestamptz NOT NULL,
	note text
) SERVER kvlsm OPTIONS (key 'shop, at DESC');
