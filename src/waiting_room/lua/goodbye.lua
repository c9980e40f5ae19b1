-- Their last subscription has ended: present for a short while more, and no longer.
-- KEYS: seen. ARGV: presence in ms, then the people.
local time = redis.call('TIME')
local present_until = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', 'LT', present_until, ARGV[i])
end
return 1
