-- Takes people out of the line, gives the change its number, and tells every instance.
-- KEYS: generation, waiting, seen, seq, left. ARGV: channel, event as JSON, then person and number for each who left.
-- Returns 0 when there is no line here.
local generation = redis.call('GET', KEYS[1])
if not generation then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = {}
for i = 3, #ARGV, 2 do
  -- Whoever brings this number later, from a reading of the journal that is old by then, is told that it has left.
  redis.call('ZADD', KEYS[5], now, ARGV[i + 1])
  local number = redis.call('ZSCORE', KEYS[2], ARGV[i])
  -- Another number is a place that the person has taken since, and keeps.
  if not number or tonumber(number) == tonumber(ARGV[i + 1]) then
    if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then gone[#gone + 1] = ARGV[i + 1] end
    redis.call('ZREM', KEYS[3], ARGV[i])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - 30000)
redis.call('EXPIRE', KEYS[5], 60)
local seq = redis.call('INCR', KEYS[4])
redis.call('PUBLISH', ARGV[1], '{"generation":' .. generation .. ',"seq":' .. seq
  .. ',"waiting":' .. redis.call('ZCARD', KEYS[2])
  .. ',"gone":[' .. table.concat(gone, ',') .. '],"event":' .. ARGV[2] .. '}')
return 1
