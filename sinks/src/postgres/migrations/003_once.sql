ALTER TABLE {ledger} ADD COLUMN lost bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN {ledger}.lost IS 'Offsets (in a file: bytes) that were missing from the log and were accepted as lost; what was not counted before is not in consumed.';
ALTER TABLE {job} ADD COLUMN journal jsonb;
COMMENT ON COLUMN {job}.journal IS 'What the journal began with, and the losses accepted since: topk recover builds a journal on it.';
