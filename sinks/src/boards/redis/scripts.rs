//! What Redis does in one go: each script touches one key, so that each is atomic and any server will do.

/// ARGV: blob, generation, epoch, milliseconds to live or ''. Answers nothing when stored, else the stored generation
/// and epoch, and 1 if it says that it is final. In JSON a quote inside a text is escaped, so these patterns match the members alone.
pub(super) const PUT: &str = r#"
local stored = redis.call('GET', KEYS[1])
if stored then
  local generation = tonumber(string.match(stored, '"generation":(%d+)') or '0')
  local epoch = tonumber(string.match(stored, '"epoch":(%d+)') or '0')
  local ours = tonumber(ARGV[2])
  if generation > ours or (generation == ours and epoch > tonumber(ARGV[3])) then
    return {generation, epoch, string.find(stored, '"state":"final"', 1, true) and 1 or 0}
  end
end
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
end
return {}
"#;

/// ARGV: generation, epoch. Deletes a board that is older and does not say that it is final; says whether.
pub(super) const DROP_OUTDATED: &str = r#"
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then
  return 0
end
local stored = redis.call('GET', KEYS[1])
local state = string.match(stored, '"state":"(%a+)"')
if not state or state == 'final' then
  return 0
end
local generation = tonumber(string.match(stored, '"generation":(%d+)') or '0')
local epoch = tonumber(string.match(stored, '"epoch":(%d+)') or '0')
local ours = tonumber(ARGV[1])
if generation > ours or (generation == ours and epoch >= tonumber(ARGV[2])) then
  return 0
end
return redis.call('DEL', KEYS[1])
"#;

/// ARGV: label. Labels of one kind sort by time.
pub(super) const ADVANCE: &str = "
local stored = redis.call('GET', KEYS[1])
if not stored or stored < ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
";

/// ARGV: what must be stored ('' for nothing), what to store.
pub(super) const SWAP: &str = "
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
";
