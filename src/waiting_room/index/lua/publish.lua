-- Takes people out of the line, gives the change its number, and tells every instance.
-- KEYS: generation, waiting, seen, seq, left, sum. ARGV: run, channel, event as JSON, then person and number for each who left.
-- Returns 0 when there is no line here.
local generation = generation_of(KEYS[1], ARGV[1])
if not generation then return 0 end
local gone = {}
if #ARGV > 3 then
  local now, sum = milliseconds(), 0
  for i = 4, #ARGV, 2 do
    -- A call that brings this number later, from a reading of the journal that is old by then, is told that it has left.
    redis.call('ZADD', KEYS[5], now, ARGV[i + 1])
    local number = redis.call('ZSCORE', KEYS[2], ARGV[i])
    -- Another number is a place that the person has taken since, and keeps.
    if not number or tonumber(number) == tonumber(ARGV[i + 1]) then
      if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then
        gone[#gone + 1] = ARGV[i + 1]
        sum = sum + mark(tonumber(ARGV[i + 1]))
      end
      redis.call('ZREM', KEYS[3], ARGV[i])
    end
    -- They have left before they came here.
    if redis.call('ZREM', KEYS[2], nobody(tonumber(ARGV[i + 1]))) == 1 then
      gone[#gone + 1] = ARGV[i + 1]
      sum = sum + mark(tonumber(ARGV[i + 1]))
    end
  end
  redis.call('DECRBY', KEYS[6], written(sum))
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - 30000)
  redis.call('EXPIRE', KEYS[5], 60)
end
local seq = redis.call('INCR', KEYS[4])
redis.call('PUBLISH', ARGV[2], '{"generation":' .. generation .. ',"seq":' .. seq
  .. ',"waiting":' .. redis.call('ZCARD', KEYS[2])
  .. ',"gone":[' .. table.concat(gone, ',') .. '],"event":' .. ARGV[3] .. '}')
return 1
