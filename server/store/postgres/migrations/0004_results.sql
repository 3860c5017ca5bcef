-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a build's outputs say of themselves: products, metrics, release name, failed. In the form of codec.h; the
-- default is metadata only, so no row is rewritten.
ALTER TABLE penstock.attempts ADD COLUMN results bytea NOT NULL DEFAULT '';
