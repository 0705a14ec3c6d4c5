-- The one script of the Redis store: compare and swap over a few records, by the server's clock.
-- KEYS: the records, and last the sorted set of those that are due some day.
-- ARGV: the time, or '' for the server's; what each record was when it was read ('=body', '' where there was none, '?' to
-- only read); then for each write the index of its key, '=body' or '' to delete, and when it is due ('' for never).
-- Returns the time, 1 where the writes were made, and the records as they are where they were not.
local now = ARGV[1]
if now == '' then
  local t = redis.call('TIME')
  now = string.format('%d.%06d', t[1], t[2])
end
local due = KEYS[#KEYS]
local count = #KEYS - 1
local found = {}
local same = true
for i = 1, count do
  local body = redis.pcall('GET', KEYS[i])
  local seen = type(body) == 'string' and '=' .. body or ''
  if type(body) == 'table' and body.err then
    if not string.find(body.err, 'WRONGTYPE', 1, true) then
      return body
    end
    -- a key of another type is there and cannot be read: overwritten, and not taken for one that never was
    seen = '='
  end
  found[i] = seen
  same = same and seen == ARGV[i + 1]
end
if not same then
  return { now, 0, unpack(found) }
end
-- nothing below may fail: what was written before would stay. The set is ours by its name, whatever was put there
local kind = redis.call('TYPE', due).ok
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('DEL', due)
end
for i = count + 2, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  local body, at = ARGV[i + 1], ARGV[i + 2]
  if body == '' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, string.sub(body, 2))
  end
  if at == '' then
    redis.call('ZREM', due, key)
  else
    redis.call('ZADD', due, at, key)
  end
end
return { now, 1 }
