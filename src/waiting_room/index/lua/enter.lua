-- Puts people into the line and returns where they stand.
-- KEYS: generation, waiting, seen, seq, left, sum, high. ARGV: run, channel, presence in ms, then person and number for each.
-- Returns false when there is no line here (wiped, of another run, or never built), else
-- {generation, seq, waiting, sum, position...}.
local generation = generation_of(KEYS[1], ARGV[1])
if not generation then return false end
local present_until = milliseconds() + tonumber(ARGV[3])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local gone, late, sum = {}, {}, 0
-- The largest number that ever came; all numbers up to a larger one were given out.
local highest = tonumber(redis.call('GET', KEYS[7]) or '0')
local high = highest
for i = 4, #ARGV, 2 do
  local number = tonumber(ARGV[i + 1])
  local expected, put = false, false
  if number > high then
    sum = sum + expect(KEYS[2], KEYS[5], high, number)
    high = number
  elseif number > 0 then
    expected = redis.call('ZREM', KEYS[2], nobody(number)) == 1
    if expected then sum = sum - mark(number) end
  end
  -- A round on another instance, or the person, can be faster than this call: a person who has left is not put back.
  if not redis.call('ZSCORE', KEYS[5], ARGV[i + 1]) then
    local older = redis.call('ZSCORE', KEYS[2], ARGV[i])
    older = older and tonumber(older)
    -- An older place of the same person, whose end has not been told yet, makes room for this one. Drawn numbers are
    -- negative, and do not tell which place is the older.
    if not older or (older ~= number and (older < number or number < 0)) then
      if older then
        gone[#gone + 1] = written(older)
        sum = sum - mark(older)
      end
      sum, put = sum + mark(number), true
      redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
      -- Others stand behind already: watchers among them move back by one.
      if not expected and last and tonumber(last) > number then late[#late + 1] = ARGV[i + 1] end
    end
    redis.call('ZADD', KEYS[3], 'GT', present_until, ARGV[i])
  end
  if expected and not put then gone[#gone + 1] = ARGV[i + 1] end
end
if high > highest then redis.call('SET', KEYS[7], written(high), 'KEEPTTL') end
if #gone + #late > 0 then
  redis.call('PUBLISH', ARGV[2], '{"generation":' .. generation .. ',"seq":' .. redis.call('INCR', KEYS[4])
    .. ',"waiting":' .. redis.call('ZCARD', KEYS[2])
    .. ',"gone":[' .. table.concat(gone, ',') .. '],"late":[' .. table.concat(late, ',') .. '],"event":{}}')
end
local answer = {
  tonumber(generation), tonumber(redis.call('GET', KEYS[4]) or '0'), redis.call('ZCARD', KEYS[2]),
  redis.call('INCRBY', KEYS[6], written(sum))
}
for i = 4, #ARGV, 2 do
  answer[#answer + 1] = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[i + 1]) + 1
end
return answer
