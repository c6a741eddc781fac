"""A shop small enough for one machine, and real enough to be operated.

Customers (`load`) check out at a gateway (`gateway`), which puts a job into a work queue
(`workqueue`) and waits for it. Worker replicas (`replica`), kept by their supervisor (`worker`),
take the jobs and do them. A batch job (`batch`) shares the queue; when it is faulty it floods the
queue and checkout waits behind it. Every part is a process of its own, and every number that it
shows was measured. What an operator may change is behind each part's `/control` (`control`).
`launch.Shop` starts and stops the lot.
"""
