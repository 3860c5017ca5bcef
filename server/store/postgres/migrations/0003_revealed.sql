-- SPDX-License-Identifier: GPL-3.0-or-later
-- Output paths that only a build could tell (content-addressed derivations): whoever waits for them needs them after a
-- restart too. In the form of attempts.outputs; the default is metadata only, so no row is rewritten.
ALTER TABLE penstock.steps ADD COLUMN revealed bytea NOT NULL DEFAULT '';
