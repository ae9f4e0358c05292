-- account.db of version 2 as a process left it that died: one flag change, one expunge and one new message
-- had been answered and had not reached the files yet.
CREATE TABLE account (
  one INTEGER PRIMARY KEY CHECK (one = 1), modseq INTEGER NOT NULL,
  modseq_reserved INTEGER NOT NULL, next_id INTEGER NOT NULL, uidvalidity INTEGER NOT NULL,
  used_bytes INTEGER NOT NULL, used_messages INTEGER NOT NULL);
CREATE TABLE mailbox (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, special_use TEXT,
  subscribed INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL,
  uid_reserved INTEGER NOT NULL, highestmodseq INTEGER NOT NULL, floor INTEGER NOT NULL,
  total INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL,
  recent INTEGER NOT NULL, recent_from INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  objectid TEXT NOT NULL, keywords TEXT NOT NULL, written_uidnext INTEGER NOT NULL);
CREATE TABLE message (
  mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, flags INTEGER NOT NULL,
  modseq INTEGER NOT NULL, named INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  internal_date INTEGER NOT NULL, save_date INTEGER,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE INDEX message_modseq ON message (mailbox, modseq);
CREATE INDEX message_unnamed ON message (mailbox, uid) WHERE named < 0;
CREATE TABLE summary (
  key INTEGER PRIMARY KEY, envelope BLOB NOT NULL, body BLOB NOT NULL,
  bodystructure BLOB NOT NULL, headers BLOB NOT NULL, has_all_headers INTEGER NOT NULL,
  structure BLOB NOT NULL);
CREATE TABLE incoming (key INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE expunged (
  mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (mailbox, modseq, uid)) WITHOUT ROWID;
CREATE INDEX expunged_at ON expunged (at);
CREATE TABLE op (id TEXT PRIMARY KEY, at INTEGER NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX op_at ON op (at);
CREATE TABLE shard (
  mailbox INTEGER NOT NULL, shard INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  PRIMARY KEY (mailbox, shard)) WITHOUT ROWID;
CREATE TABLE pending_unlink (
  mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, named INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE pending_directory (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT);

INSERT INTO account VALUES (1, 9, 10001, 2, 1700000000, 54, 3);
INSERT INTO mailbox VALUES (1, 'INBOX', NULL, 1, 1700000000, 8, 1001, 9, 0, 3, 2, 0, 0, 8, 54, 'M1', '["$K"]', 8);
INSERT INTO message VALUES (1, 1, 0, 2, 0, 18, 1600000001, 1600000002);
INSERT INTO message VALUES (1, 3, 72, 8, -1, 18, 1600000003, 1600000004);
INSERT INTO message VALUES (1, 7, 0, 9, 0, 18, 1600000007, 1600000008);
INSERT INTO expunged VALUES (1, 9, 2, 1600000005);
INSERT INTO pending_unlink VALUES (1, 2, 0);
INSERT INTO incoming VALUES (4294967303, CAST('Subject: seven' || char(13,10,13,10) AS BLOB));
PRAGMA user_version=2;
