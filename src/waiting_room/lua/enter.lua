-- Puts people into the line and returns where they stand.
-- KEYS: generation, waiting, seen, seq, left. ARGV: channel, presence in ms, then person and number for each.
-- Returns false when there is no line here (wiped, or never built), else {generation, seq, waiting, position...}.
local generation = redis.call('GET', KEYS[1])
if not generation then return false end
local time = redis.call('TIME')
local present_until = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local gone, late = {}, {}
for i = 3, #ARGV, 2 do
  -- A round on another instance, or the person, can be faster than this call: who has left is not put back.
  if not redis.call('ZSCORE', KEYS[5], ARGV[i + 1]) then
    -- An older place of the same person, whose end has not been told yet, makes room for this one.
    local older = redis.call('ZSCORE', KEYS[2], ARGV[i])
    if older and tonumber(older) < tonumber(ARGV[i + 1]) then gone[#gone + 1] = older end
    -- Another instance was faster with people who stand behind: those who are watched there move back by one.
    if redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 1], ARGV[i]) == 1 and last and tonumber(last) > tonumber(ARGV[i + 1]) then
      late[#late + 1] = ARGV[i + 1]
    end
    redis.call('ZADD', KEYS[3], 'GT', present_until, ARGV[i])
  end
end
if #gone + #late > 0 then
  redis.call('PUBLISH', ARGV[1], '{"generation":' .. generation .. ',"seq":' .. redis.call('INCR', KEYS[4])
    .. ',"waiting":' .. redis.call('ZCARD', KEYS[2])
    .. ',"gone":[' .. table.concat(gone, ',') .. '],"late":[' .. table.concat(late, ',') .. '],"event":{}}')
end
local answer = {tonumber(generation), tonumber(redis.call('GET', KEYS[4]) or '0'), redis.call('ZCARD', KEYS[2])}
for i = 3, #ARGV, 2 do
  answer[#answer + 1] = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[i + 1]) + 1
end
return answer
