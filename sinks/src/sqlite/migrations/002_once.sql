ALTER TABLE {ledger} ADD COLUMN lost INTEGER NOT NULL DEFAULT 0 /* offsets missing from the log and accepted as lost */;
ALTER TABLE {job} ADD COLUMN journal TEXT /* JSON: what the journal began with, and accepted losses; for topk recover */;
