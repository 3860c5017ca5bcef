-- SPDX-License-Identifier: GPL-3.0-or-later
-- Steps that are not finished, for recovery: a job may list only what it asked for, and not what that needs. A step has
-- a result from its end on, so nothing else that happens to it touches the index.
CREATE INDEX unfinished_steps ON penstock.steps (id) WHERE result IS NULL;
